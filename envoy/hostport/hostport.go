// Package hostport reads the addresses that Envoy connects to or binds.
package hostport

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Address is one of them: its host is a name or an IP address.
type Address struct {
	Host string
	Port uint16
}

// IsIP reports whether no name has to be resolved.
func (a Address) IsIP() bool {
	_, err := netip.ParseAddr(a.Host)
	return err == nil
}

// Parse reads host:port of something to connect to; no host is this machine.
func Parse(text string) (Address, error) {
	a, err := read(text)
	if err == nil && a.Port == 0 {
		return Address{}, fmt.Errorf("address %q: the port must be a number from 1 to 65535", text)
	}
	return a, err
}

func read(text string) (Address, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: want host:port, for example 127.0.0.1:4001", text)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: the port must be a number up to 65535", text)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return Address{Host: host, Port: uint16(n)}, nil
}

// ParseBind reads host:port of a listener; no host is every IPv4 address, port 0 a free one.
func ParseBind(text string) (Address, error) {
	a, err := read(text)
	if err != nil {
		return Address{}, err
	}
	switch {
	case text[0] == ':':
		a.Host = "0.0.0.0"
	case a.Host == "localhost":
		a.Host = "127.0.0.1"
	case !a.IsIP():
		return Address{}, fmt.Errorf("address %q: the host must be an IP address", text)
	}
	return a, nil
}

// Message is the address in Envoy's configuration. A listener on :: takes IPv4 too, as Go's do.
func (a Address) Message() *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       a.Host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port)},
		Ipv4Compat:    a.Host == "::",
	}}}
}
