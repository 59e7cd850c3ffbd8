package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nestor-gateway/nestor/cmd/nestor/draw"
	"github.com/nestor-gateway/nestor/cmd/nestor/keys"
)

// keysCommand is nestor keys. The master key comes from the environment or a file: arguments are seen by every process.
func keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "Make, list, block and delete virtual keys at a running nestor",
		Long: "Make, list, block and delete virtual keys at a running nestor.\n\n" +
			"The master key is read from --master-key-file, or else $NESTOR_MASTER_KEY or $LITELLM_MASTER_KEY.\n" +
			"KEY is a key's alias, its token, or the key itself.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("nestor keys has no %q: it has generate, list, info, block, unblock and delete", args[0])
			}
			return fmt.Errorf("nestor keys what? generate, list, info, block, unblock or delete")
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	f := c.PersistentFlags()
	f.String("address", "http://127.0.0.1:4000", "where that nestor serves its clients")
	f.String("master-key-file", "", "a file with the master key")
	f.Bool("json", false, "print the JSON of the API: LiteLLM's")
	c.AddCommand(generateKeyCommand(), listKeysCommand(), keyInfoCommand(), blockKeyCommand(true), blockKeyCommand(false), deleteKeysCommand())
	return c
}

// keysClient is the client that the flags of a command say.
func keysClient(c *cobra.Command) (*keys.Client, error) {
	key, err := masterKey(c)
	if err != nil {
		return nil, err
	}
	address, _ := c.Flags().GetString("address")
	return keys.NewClient(address, key)
}

func masterKey(c *cobra.Command) (string, error) {
	if path, _ := c.Flags().GetString("master-key-file"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read the master key: %w", err)
		}
		key := strings.TrimSpace(string(text))
		if key == "" {
			return "", fmt.Errorf("no master key: %s is empty", path)
		}
		return key, nil
	}
	key := cmp.Or(os.Getenv("NESTOR_MASTER_KEY"), os.Getenv("LITELLM_MASTER_KEY"))
	if key == "" {
		return "", fmt.Errorf("no master key: set NESTOR_MASTER_KEY, or pass --master-key-file FILE")
	}
	return key, nil
}

func asJSON(c *cobra.Command) bool {
	v, _ := c.Flags().GetBool("json")
	return v
}

// keyFlags are those of nestor keys generate, by what they are called in /key/generate.
func keyFlags() map[string]string {
	return map[string]string{
		"alias": "key_alias", "model": "models", "team": "team_id", "user": "user_id", "duration": "duration", "max-budget": "max_budget",
		"budget-duration": "budget_duration", "rpm": "rpm_limit", "tpm": "tpm_limit", "max-parallel": "max_parallel_requests", "tag": "tags",
	}
}

func generateKeyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "generate",
		Short: "Make a key and print it: this is the only time that it is shown",
		Args:  exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := keysClient(c)
			if err != nil {
				return err
			}
			k, err := client.Generate(c.Context(), askedFor(c.Flags()))
			if err != nil {
				return err
			}
			return writeOut(c.OutOrStdout(), asJSON(c), k.Answer, func(w io.Writer) { fmt.Fprintln(w, k.Secret) })
		},
	}
	f := c.Flags()
	f.String("alias", "", "a name for people, which no other key has")
	f.StringArray("model", nil, "a group, alias, access group or pattern such as openai/* that may be called; repeatable (default: all)")
	f.String("team", "", "the team that the key belongs to")
	f.String("user", "", "the user that the key belongs to")
	f.String("duration", "", "when the key expires, for example 30d (default: never)")
	f.Float64("max-budget", 0, "what may be spent, in USD (default: anything)")
	f.String("budget-duration", "", "when the spend begins at 0 again, for example 1mo (default: never)")
	f.Int64("rpm", 0, "requests a minute (default: any)")
	f.Int64("tpm", 0, "tokens a minute (default: any)")
	f.Int64("max-parallel", 0, "requests at a time (default: any)")
	f.StringArray("tag", nil, "a tag for the spend log; repeatable")
	return c
}

// askedFor is the body of /key/generate: what was given, and nothing else.
func askedFor(f *pflag.FlagSet) map[string]any {
	asked := map[string]any{}
	f.Visit(func(flag *pflag.Flag) {
		name, ok := keyFlags()[flag.Name]
		if !ok {
			return
		}
		switch flag.Value.Type() {
		case "stringArray":
			asked[name], _ = f.GetStringArray(flag.Name)
		case "int64":
			asked[name], _ = f.GetInt64(flag.Name)
		case "float64":
			asked[name], _ = f.GetFloat64(flag.Name)
		default:
			asked[name] = flag.Value.String()
		}
	})
	return asked
}

func listKeysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List keys, the latest first",
		Args:  exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := keysClient(c)
			if err != nil {
				return err
			}
			team, _ := c.Flags().GetString("team")
			user, _ := c.Flags().GetString("user")
			all, err := client.List(c.Context(), team, user)
			if err != nil {
				return err
			}
			return writeOut(c.OutOrStdout(), asJSON(c), answers(all), func(w io.Writer) { draw.Keys(w, all) })
		},
	}
	c.Flags().String("team", "", "only those of this team")
	c.Flags().String("user", "", "only those of this user")
	return c
}

// answers are what the API says of keys, page by page, in one list.
func answers(all []keys.Key) []json.RawMessage {
	list := make([]json.RawMessage, len(all))
	for i, k := range all {
		list[i] = k.Answer
	}
	return list
}

func keyInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "info KEY",
		Short: "Show all about a key",
		Args:  exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := keysClient(c)
			if err != nil {
				return err
			}
			k, err := client.Info(c.Context(), args[0])
			if err != nil {
				return err
			}
			return writeOut(c.OutOrStdout(), asJSON(c), k.Answer, func(w io.Writer) { draw.Key(w, k) })
		},
	}
}

func blockKeyCommand(blocked bool) *cobra.Command {
	use, short, done := "unblock KEY", "Let a blocked key be used again", "unblocked"
	if blocked {
		use, short, done = "block KEY", "Refuse all requests that are made with a key", "blocked"
	}
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  exactly("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := keysClient(c)
			if err != nil {
				return err
			}
			token, err := client.Token(c.Context(), args[0])
			if err != nil {
				return err
			}
			k, err := client.SetBlocked(c.Context(), token, blocked)
			if err != nil {
				return err
			}
			return writeOut(c.OutOrStdout(), asJSON(c), k.Answer, func(w io.Writer) { fmt.Fprintln(w, done, cmp.Or(k.Alias, k.Name)) })
		},
	}
}

func deleteKeysCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delete KEY...",
		Short: "Delete keys; what they spent stays in the spend log",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("KEY is missing: name at least one key to delete")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			client, err := keysClient(c)
			if err != nil {
				return err
			}
			return deleteKeys(c, client, args)
		},
	}
}

// deleteKeys deletes all that are named, or none where one is not there.
func deleteKeys(c *cobra.Command, client *keys.Client, named []string) error {
	var tokens, names []string
	for _, name := range named {
		k, err := client.Info(c.Context(), name)
		if err != nil {
			return err
		}
		tokens, names = append(tokens, k.Token), append(names, cmp.Or(k.Alias, k.Name))
	}
	answer, err := client.Delete(c.Context(), tokens)
	if err != nil {
		return err
	}
	return writeOut(c.OutOrStdout(), asJSON(c), answer, func(w io.Writer) {
		for _, name := range names {
			fmt.Fprintln(w, "deleted", name)
		}
	})
}
