package form

import (
	"encoding/json"
	"errors"
	"fmt"
)

// described is what LiteLLM keeps in the metadata of a record and Nestor in places of their own.
type described struct {
	metadata           *json.RawMessage
	modelRPM, modelTPM *map[string]int64
	// tags is nil for what has none.
	tags *[]string
}

// describedFields are metadata and what may be in it. Of what LiteLLM keeps in it, only what is there is changed.
func describedFields[T any](at func(*T) described) Fields[T] {
	fs := Fields[T]{
		{"metadata", func(to *T, value json.RawMessage) error { return at(to).setMetadata(value) }},
		counts("model_rpm_limit", func(to *T) *map[string]int64 { return at(to).modelRPM }),
		counts("model_tpm_limit", func(to *T) *map[string]int64 { return at(to).modelTPM }),
	}
	var none T
	if at(&none).tags != nil {
		fs = append(fs, field[T]{"tags", func(to *T, value json.RawMessage) error { return at(to).setTags(value) }})
	}
	return fs
}

// setTags leaves them as they are for null, as LiteLLM does.
func (d described) setTags(value json.RawMessage) error {
	var tags []string
	if json.Unmarshal(value, &tags) != nil {
		return errors.New("must be a list of texts")
	}
	if tags != nil {
		*d.tags = tags
	}
	return nil
}

// actingMetadata are members of metadata that change what LiteLLM allows, or that hold credentials of callbacks.
func actingMetadata() []string {
	return []string{"guardrails", "policies", "prompts", "enforced_params", "tag_rpm_limit", "model_itpm_limit", "model_otpm_limit",
		"allowed_vector_store_indexes", "end_user_budget_id", "logging", "callback_settings", "secret_manager_settings",
		"temp_budget_increase", "temp_budget_expiry"}
}

func (d described) setMetadata(value json.RawMessage) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(value, &members) != nil {
		return errors.New("must be an object")
	}
	for _, name := range actingMetadata() {
		if v, ok := members[name]; ok && !isEmpty(v) {
			return fmt.Errorf("has %q, which %w", name, errUnsupported)
		}
	}
	if err := d.lift(members); err != nil {
		return err
	}
	*d.metadata = nil
	if len(members) == 0 {
		return nil
	}
	text, err := json.Marshal(members)
	*d.metadata = text
	return err
}

// lift takes what has a place of its own out of metadata.
func (d described) lift(members map[string]json.RawMessage) error {
	for _, f := range describedFields(func(to *described) described { return *to }) {
		v, ok := members[f.name]
		if !ok || f.name == "metadata" || f.name == "tags" && d.tags == nil {
			continue
		}
		if err := f.set(&d, v); err != nil {
			return fmt.Errorf("has %q, which %w", f.name, err)
		}
		delete(members, f.name)
	}
	return nil
}
