package config

// items are the elements of a model_list that are not parsed yet.
type items struct{}

// each parses the elements one after another. Not ok: they can't be read one by one.
func (it *items) each(r *report, read func(*node)) bool {
	return true
}

func (d *decoder) parseTop(name, src string) (*node, *items) {
	return parse(src, name, 0, d.report), nil
}
