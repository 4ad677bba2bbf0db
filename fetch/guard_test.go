package fetch

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// names is a name server on a loopback address that answers every question for
// an IPv4 address with the one of a list that is its turn.
type names struct {
	list  []netip.Addr
	asked atomic.Int64 // which one
}

// start makes the resolver of this process ask n until the test ends.
func (n *names) start(t *testing.T) {
	t.Helper()
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // it only answered
	go func() {
		buf := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(n.answer(buf[:size]), from) // who asks asks again
		}
	}()
	was := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = was })
}

// answer is a message of RFC 1035: the header, the one question as it came,
// and at most one address.
func (n *names) answer(q []byte) []byte {
	end := 12
	for q[end] != 0 {
		end += 1 + int(q[end])
	}
	end += 5 // the root, type and class
	out := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
	kind := binary.BigEndian.Uint16(q[end-4:])
	addr := n.list[min(int(n.asked.Load()), len(n.list)-1)]
	if wants4 := kind == 1; wants4 != addr.Is4() || kind != 1 && kind != 28 {
		return out
	}
	out[7] = 1
	out = append(out, 0xc0, 12) // the name is that of the question
	out = binary.BigEndian.AppendUint16(out, kind)
	out = append(out, 0, 1, 0, 0, 0, 0) // for no time
	out = binary.BigEndian.AppendUint16(out, uint16(addr.BitLen()/8))
	return append(out, addr.AsSlice()...)
}

// TestRebinding: a name that was public when it was looked at leads inside when
// it is dialled.
func TestRebinding(t *testing.T) {
	l := loopback(t)
	tr := NewTransport(TransportOptions{})
	defer tr.CloseIdleConnections()
	for _, inside := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fd00::1", "fe80::1", "64:ff9b::7f00:1", "fd00:ec2::254"} {
		n := &names{list: []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr(inside)}}
		n.start(t)
		first, err := net.DefaultResolver.LookupHost(t.Context(), "rebind.example")
		if err != nil || len(first) != 1 || first[0] != "1.1.1.1" {
			t.Fatal(first, err)
		}
		n.asked.Store(1) // from now on
		_, err = get(t, newClient(tr), "http://rebind.example:"+l.port, false)
		if err == nil || !strings.Contains(err.Error(), "not a public address") && !strings.Contains(err.Error(), "neighbour") {
			t.Errorf("%s: error %v", inside, err)
		}
	}
	if n := l.taken.Load(); n != 0 {
		t.Errorf("%d connections arrived", n)
	}
}

// counting is a listener on the loopback addresses.
type counting struct {
	port  string
	taken atomic.Int64
}

func loopback(t *testing.T) *counting {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	c := &counting{}
	_, c.port, _ = net.SplitHostPort(l.Addr().String())
	t.Cleanup(func() { _ = l.Close() }) // it only counted
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.taken.Add(1)
			_ = conn.Close() // counted
		}
	}()
	return c
}

// TestInside: no way to write an address leads to this machine or its network.
func TestInside(t *testing.T) {
	l := loopback(t)
	tr := NewTransport(TransportOptions{Connect: time.Second})
	defer tr.CloseIdleConnections()
	for _, host := range []string{
		"127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.",
		"localhost", "LOCALHOST", "localhost.", "0.0.0.0", "0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
		"[64:ff9b::7f00:1]", "[2002:7f00:1::]", "①②⑦.⓪.⓪.①", "127。0。0。1",
	} {
		_, err := get(t, newClient(tr), "http://"+host+":"+l.port, false)
		if err == nil {
			t.Errorf("%s is reached", host)
		}
	}
	if n := l.taken.Load(); n != 0 {
		t.Errorf("%d connections arrived", n)
	}
}

// TestNeighbours: where clouds keep secrets nothing is asked, whatever the
// settings say.
func TestNeighbours(t *testing.T) {
	for _, o := range []TransportOptions{{}, {Private: true}} {
		tr := NewTransport(o)
		for _, host := range []string{"169.254.169.254", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "169.254.170.2", "[fd00:ec2::254]", "[fe80::1%25lo]"} {
			u, err := url.Parse("http://" + host + "/latest/meta-data")
			if err != nil {
				t.Fatal(err)
			}
			_, err = newClient(tr).send(t.Context(), target{u, true, time.Minute}, Request{})
			if err == nil || !strings.Contains(err.Error(), "neighbour") {
				t.Errorf("%s: error %v", host, err)
			}
		}
		tr.CloseIdleConnections()
	}
}

// TestPrivateTransport reaches private addresses for everybody.
func TestPrivateTransport(t *testing.T) {
	l := loopback(t)
	tr := NewTransport(TransportOptions{Private: true})
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+l.port, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := (&http.Client{Transport: tr}).Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("who hangs up answers")
	}
	if l.taken.Load() == 0 {
		t.Error("it was not reached")
	}
}
