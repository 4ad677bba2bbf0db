package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// Error is what a client is told: what is wrong, where, and how to mend it.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"` // snake_case, for programs
	Message string `json:"message"`
	Field   string `json:"field,omitempty"` // the parameter or member at fault
}

func (e *Error) Error() string { return e.Message }

// badField is the error for a parameter that is wrong.
func badField(field, format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, "invalid_parameter", fmt.Sprintf(format, args...), field}
}

// statuses say how errors that come up from below are answered. The first
// match decides; whatever is not here is a fault of ours.
var statuses = []struct {
	err    error
	status int
	code   string
}{
	{series.ErrNoSeries, http.StatusNotFound, "no_such_series"},
	{heal.ErrNoRepair, http.StatusNotFound, "no_such_repair"},
	{series.ErrCorrupt, http.StatusInternalServerError, "damaged"},
	{storage.ErrClosed, http.StatusServiceUnavailable, "closing"},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "too_slow"},
	{context.Canceled, statusClientClosed, "canceled"},
}

// statusClientClosed is logged for a client that left before its answer; there
// is no registered status for it.
const statusClientClosed = 499

// asError finds what to tell a client about err.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Error{
			http.StatusRequestEntityTooLarge, "body_too_large",
			fmt.Sprintf("the body is larger than %d bytes: send it in several requests, or raise server.max_body", tooLarge.Limit), "",
		}
	}
	// A client that left needs no advice.
	if u, ok := errors.AsType[*storage.UnavailableError](err); ok && !errors.Is(err, context.Canceled) {
		return unavailable(u)
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return &Error{s.status, s.code, err.Error(), ""}
		}
	}
	return &Error{http.StatusInternalServerError, "internal", "the server failed at this request: its log says why under the id of X-Request-Id", ""}
}

// unavailable is the error for a write that the store does not take now. 507
// is for one that was not begun; 503 says nothing of what became of it.
func unavailable(u *storage.UnavailableError) *Error {
	e := &Error{http.StatusServiceUnavailable, "read_only", u.Error(), ""}
	switch u.Reason {
	case storage.DiskFull:
		e.Code = "disk_full"
		if !u.Unknown {
			e.Status = http.StatusInsufficientStorage
		}
	case storage.Stalled:
		e.Code = "stalled"
		e.Message += "; /health tells how the disk does"
	}
	e.Message += "; reads go on"
	return e
}

// usualRetry is when to ask again where nobody knows better.
const usualRetry = 5 * time.Second

// retryAfter is when to ask again, in whole seconds as HTTP wants it and never
// too early; it is empty where that would not help.
func retryAfter(err error, status int) string {
	wait := usualRetry
	if u, ok := errors.AsType[*storage.UnavailableError](err); ok {
		wait = max(u.RetryAfter, time.Second)
	} else if status != http.StatusServiceUnavailable {
		return ""
	}
	return strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
}

// fail answers with err and ends the request. What is a fault of ours is kept
// for the log.
func fail(c *gin.Context, err error) {
	e := asError(err)
	if e.Status >= 500 {
		_ = c.Error(err) // returns what it was given
	}
	if wait := retryAfter(err, e.Status); wait != "" {
		c.Header("Retry-After", wait)
	}
	c.Abort()
	c.PureJSON(e.Status, gin.H{"error": e})
}
