package access

// Allows reports whether a list of models, as a team has it, allows a name: that of a model, of an access group,
// or a pattern that is in the list itself.
func (x *Index) Allows(models []string, name string) bool {
	g, names := ownGrants(models), Catalog(noNames{})
	if c := x.catalog.get(); c != nil {
		names = c.Catalog
	}
	return g.allow(name, names)
}
