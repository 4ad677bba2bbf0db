package api

import (
	"crypto/sha256"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// rates bound how often one token asks. There is a bucket for each valid
// token only, so that wrong ones take no memory.
type rates struct {
	perSecond float64 // 0 sets no limit

	mu      sync.Mutex
	buckets map[[sha256.Size]byte]bucket
}

// bucket holds what a token may still ask at once.
type bucket struct {
	left float64
	at   time.Time
}

// rateBurst is how many seconds' worth of requests may come at once.
const rateBurst = 2

// take takes one request out of the bucket of a token.
func (r *rates) take(c *gin.Context, token [sha256.Size]byte, now time.Time) *Error {
	if r.perSecond <= 0 {
		return nil
	}
	full := max(1, r.perSecond*rateBurst)
	r.mu.Lock()
	defer r.mu.Unlock()
	b, known := r.buckets[token]
	if !known {
		b = bucket{full, now}
	}
	if gone := now.Sub(b.at); gone > 0 { // a clock that went back gives nothing
		b.left = min(full, b.left+gone.Seconds()*r.perSecond)
	}
	b.at = now
	defer func() { r.buckets[token] = b }()
	if b.left >= 1 {
		b.left--
		return nil
	}
	c.Header("Retry-After", strconv.Itoa(max(1, int(math.Ceil((1-b.left)/r.perSecond)))))
	return &Error{http.StatusTooManyRequests, "too_many_requests", fmt.Sprintf("this token may ask %v times a second: wait as Retry-After says, or raise server.rate", r.perSecond), "Authorization"}
}
