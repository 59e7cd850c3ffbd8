package deployment

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUpstreamOfAnAddress(t *testing.T) {
	for address, want := range map[string]Upstream{
		"https://api.Example.com/v1": {Name: "https_api.example.com_443", Scheme: "https", Host: "api.example.com", Port: 443},
		"http://localhost:8080":      {Name: "http_localhost_8080", Scheme: "http", Host: "localhost", Port: 8080},
		"http://10.0.0.1":            {Name: "http_10.0.0.1_80", Scheme: "http", Host: "10.0.0.1", Port: 80},
		"https://[::1]:9/x":          {Name: "https_[::1]_9", Scheme: "https", Host: "::1", Port: 9},
	} {
		t.Run(address, func(t *testing.T) {
			base, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			got, err := upstreamOf(base)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAddressesThatLeadNowhere(t *testing.T) {
	for address, want := range map[string]string{
		"ftp://example.com":      `the address "ftp://example.com" must begin with http:// or https://`,
		"https://":               `the address "https:" needs a host name in ASCII letters`,
		"https://bücher.example": `the address "https://b%C3%BCcher.example" needs a host name in ASCII letters`,
		"http://a:70000":         `the address "http://a:70000" has no valid port`,
	} {
		t.Run(address, func(t *testing.T) {
			base, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := upstreamOf(base); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}
