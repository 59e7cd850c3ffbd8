package deployment

// unpriced is the USD for a token where nobody says what it costs. LiteLLM's.
const unpriced = 5.0

// Price is the USD for a token in and one out, for strategies that compare.
func (d *Deployment) Price() float64 { return orUnpriced(d.Prices.Input) + orUnpriced(d.Prices.Output) }

func orUnpriced(usd *float64) float64 {
	if usd == nil {
		return unpriced
	}
	return *usd
}

// price fixes what the deployment's requests cost, once all its entries have spoken.
func (d *Deployment) price() {
	d.Prices = d.Prices.Or(d.Info.Prices)
	d.Tariff = tariffOf(d.Prices)
	d.PriceList = d.Tariff.String()
}
