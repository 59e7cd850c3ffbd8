package access_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nestor-gateway/nestor/access"
)

func TestOnlyAllowedNetworksAreLetInWhateverTheirKey(t *testing.T) {
	x := access.New(access.Options{})
	x.SetMaster(master)
	from := func(addresses string) *access.Denial {
		_, denial := x.Authenticate(headers{"authorization": "Bearer " + master, "x-forwarded-for": addresses}.get)
		return denial
	}
	denied := func(address string) *access.Denial {
		return &access.Denial{Status: 403, Type: "auth_error", Code: "403", Message: "Access forbidden: IP address " + address + " not allowed."}
	}
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	cases := map[string]*access.Denial{
		"10.1.2.3": nil, "192.0.2.1, 10.1.2.3": nil, "192.0.2.1,10.1.2.3 ": nil, "::ffff:10.1.2.3": nil, "2001:db8::1": nil,
		"10.1.2.3, 192.0.2.1": denied("192.0.2.1"), "192.0.2.1": denied("192.0.2.1"), "2001:db9::1": denied("2001:db9::1"),
		"": denied("unknown"), "10.1.2.3,": denied("unknown"), "10.1.2": denied("unknown"),
	}
	for addresses := range cases {
		if d := from(addresses); d != nil {
			t.Errorf("without networks %q is denied: %v", addresses, d)
		}
	}
	x.SetNetworks(networks)
	for addresses, want := range cases {
		if diff := cmp.Diff(want, from(addresses)); diff != "" {
			t.Errorf("%q: %s", addresses, diff)
		}
	}
	header := headers{"authorization": "Bearer " + master, "x-forwarded-for": "192.0.2.1, 10.1.2.3"}.get
	if n := testing.AllocsPerRun(100, func() { x.Authenticate(header) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	x.SetNetworks([]netip.Prefix{})
	if from("10.1.2.3") == nil {
		t.Error("an empty list lets somebody in")
	}
	x.SetNetworks(nil)
	if d := from(""); d != nil {
		t.Errorf("without networks again: %v", d)
	}
}
