package fetch

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// privateKey marks the context of a request that may go to a private address.
type privateKey struct{}

// allowPrivate lets the requests of ctx reach private addresses if ok.
func allowPrivate(ctx context.Context, ok bool) context.Context {
	return context.WithValue(ctx, privateKey{}, ok)
}

// guard refuses to connect to an address that is not public, unless the
// request was allowed to. It sees the address that is dialled, after names were
// resolved and on every redirect, so that no name can lead inside.
func guard(ctx context.Context, _, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	private, _ := ctx.Value(privateKey{}).(bool)
	switch {
	case linkLocal(addr):
		return fmt.Errorf("%s is the address of a neighbour on the wire, where clouds keep secrets of their machines: nothing is asked there", addr)
	case !private && !public(addr):
		return fmt.Errorf("%s is not a public address: set allow_private if it is meant", addr)
	}
	return nil
}

// awsMetadata is the one such address that is not link-local
// (docs.aws.amazon.com, EC2 user guide, Instance metadata, read 2026-11).
var awsMetadata = netip.MustParseAddr("fd00:ec2::254")

// linkLocal reports whether an address is of those under which clouds tell
// their machines what they are and who they may pretend to be. Nobody's vendor
// is there, so that no setting opens it.
func linkLocal(addr netip.Addr) bool {
	addr = addr.WithZone("")
	if nat := netip.MustParsePrefix("64:ff9b::/96"); nat.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	addr = addr.Unmap()
	return addr.IsLinkLocalUnicast() || addr == awsMetadata
}

// notPublic are the networks that netip has no question for.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network, RFC 1122
	netip.MustParsePrefix("100.64.0.0/10"),   // shared by carriers, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments, RFC 6890
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation, RFC 5737
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks, RFC 2544
	netip.MustParsePrefix("198.51.100.0/24"), // documentation, RFC 5737
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation, RFC 5737
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, RFC 1112
	netip.MustParsePrefix("64:ff9b::/96"),    // IPv4 in IPv6, RFC 6052
	netip.MustParsePrefix("64:ff9b:1::/48"),  // the same, locally, RFC 8215
	netip.MustParsePrefix("2001::/23"),       // Teredo and other assignments, RFC 6890
	netip.MustParsePrefix("2001:db8::/32"),   // documentation, RFC 3849
	netip.MustParsePrefix("2002::/16"),       // 6to4, RFC 3056
	netip.MustParsePrefix("fec0::/10"),       // site-local, RFC 3879
}

func public(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// bare writes u for a person: without user, query and fragment, where keys are.
func bare(u *url.URL) string {
	b := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.RawQuery != "" {
		return b.String() + "?..."
	}
	return b.String()
}

// scrub takes the secrets out of a text, as they are and as they look in a URL.
func scrub(text string, c Credentials) string {
	for _, s := range [...]Secret{c.Key, c.Secret, c.Passphrase} {
		// A secret of a few characters would blank out innocent words.
		if v := s.Reveal(); len(v) >= 4 {
			text = strings.ReplaceAll(text, v, hidden)
			text = strings.ReplaceAll(text, url.QueryEscape(v), hidden)
		}
	}
	return text
}
