package binance

import (
	"net/http"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
)

// TestSignature is the example of the vendor: rest-api.md, SIGNED endpoint
// examples.
func TestSignature(t *testing.T) {
	got := signature("NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
		"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559")
	if want := "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"; got != want {
		t.Errorf("the signature is %s", got)
	}
	p := Spot()
	r := fetch.Request{Query: "symbol=A", Header: http.Header{}}
	if err := p.(fetch.Signer).Sign(&r, "", fetch.Credentials{Key: fetch.NewSecret("k"), Secret: fetch.NewSecret("s")}, time.UnixMilli(7)); err != nil {
		t.Fatal(err)
	}
	if want := "symbol=A&timestamp=7&signature=" + signature("s", "symbol=A&timestamp=7"); r.Query != want || r.Header.Get("X-Mbx-Apikey") != "k" {
		t.Errorf("signed is %s %v", r.Query, r.Header)
	}
	if used := p.(fetch.Meter).Usage(http.Header{"X-Mbx-Used-Weight-1m": {"17"}}); used[0] != 17 {
		t.Errorf("used is %v", used)
	}
}
