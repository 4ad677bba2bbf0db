package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/storage"
)

// check is one line of /health.
type check struct {
	Status string `json:"status"`
	Detail string `json:"detail"`
	*disk         // of the check of the disk
}

// disk is the room that there is.
type disk struct {
	State string `json:"state"` // ok, low, read_only, full
	Free  *int64 `json:"free"`  // bytes; null where they are not known
	Total *int64 `json:"total"`
}

// The states of health, best first.
const (
	healthy   = "healthy"
	degraded  = "degraded"
	unhealthy = "unhealthy"
)

// health answers 200 as long as reads can be served, and 503 otherwise: a disk
// that is full keeps the store from writing, not from reading, and is degraded.
// A store without data is degraded: whoever asks expects some.
func (s *Server) health(c *gin.Context) {
	if err := parseQuery(c.Request.URL.RawQuery).done(); err != nil {
		fail(c, err)
		return
	}
	checks, worst := s.checks()
	status := http.StatusOK
	if worst == unhealthy {
		status = http.StatusServiceUnavailable
	}
	c.PureJSON(status, struct {
		Status  string           `json:"status"`
		Checks  map[string]check `json:"checks"`
		Version string           `json:"version"`
		Uptime  int64            `json:"uptime_s"`
	}{worst, checks, s.o.Version, int64(s.now().Sub(s.started).Seconds())})
}

// checks makes every check, and says how the worst of them ended.
func (s *Server) checks() (checks map[string]check, worst string) {
	h := s.store.Health()
	checks = map[string]check{
		"data": s.checkData(), "writes": s.checkWrites(h),
		"disk": checkDisk(h), "disk_speed": checkSpeed(h), "store": s.checkStore(),
	}
	if s.o.Components != nil {
		checks["components"] = checkComponents(s.o.Components.Components())
	}
	if s.o.Endpoints != nil {
		checks["endpoints"] = checkEndpoints(s.o.Endpoints.Health())
	}
	worst = healthy
	for _, ch := range checks {
		if ch.Status == unhealthy || ch.Status == degraded && worst == healthy {
			worst = ch.Status
		}
	}
	return checks, worst
}

func checkComponents(list []Component) check {
	for _, c := range list {
		if c.State == "waiting" {
			return check{Status: degraded, Detail: fmt.Sprintf("%s failed and will be started again: %s", c.Name, c.Error)}
		}
	}
	return check{Status: healthy, Detail: fmt.Sprintf("%d components are at work", len(list))}
}

// checkEndpoints looks for one that may be asked.
func checkEndpoints(list []EndpointHealth) check {
	up := 0
	for _, e := range list {
		if e.Breaker != "open" && e.PausedUntil == nil {
			up++
		}
	}
	ch := check{Status: healthy, Detail: fmt.Sprintf("%d of %d endpoints may be asked", up, len(list))}
	if up == 0 && len(list) > 0 {
		ch.Status = degraded
		ch.Detail += ": what is stored is served, holes stay open until one answers; GET /endpoints/health says why"
	}
	return ch
}

// checkData reads a bar, which fails if the store is closed or damaged.
func (s *Server) checkData() check {
	var bars int64
	infos, err := s.store.Series()
	if err != nil {
		return check{Status: unhealthy, Detail: err.Error()}
	}
	for _, info := range infos {
		bars += info.Bars
		if info.Bars > 0 && bars == info.Bars { // the first series with bars
			if _, _, err := s.store.Latest(info.Key); err != nil {
				return check{Status: unhealthy, Detail: err.Error()}
			}
		}
	}
	if bars == 0 {
		return check{Status: degraded, Detail: "the store holds no bars: import a file, or POST /v1/bars"}
	}
	return check{Status: healthy, Detail: fmt.Sprintf("%d series, %d bars", len(infos), bars)}
}

func (s *Server) checkWrites(h storage.Health) check {
	if h.Space >= storage.SpaceReadOnly {
		return check{Status: degraded, Detail: "refused for lack of space: see the check disk"}
	}
	if !s.guard.hasToken {
		return check{Status: degraded, Detail: "no token is set: every write is refused"}
	}
	return check{Status: healthy, Detail: "with the token"}
}

func checkDisk(h storage.Health) check {
	ch := check{Status: degraded, disk: &disk{State: h.Space.String()}}
	room := "how much is free is not known"
	if h.Total > 0 {
		ch.Free, ch.Total = &h.Free, &h.Total
		room = fmt.Sprintf("%s of %s free", sizeText(h.Free), sizeText(h.Total))
	}
	switch h.Space {
	case storage.SpaceOK:
		ch.Status, ch.Detail = healthy, room
	case storage.SpaceLow:
		ch.Detail = room + ": free some space before writes are refused"
	case storage.SpaceReadOnly:
		ch.Detail = room + ": writes are refused and reads go on; free some space, writes then go on by themselves"
	default:
		ch.Detail = "full, " + room + ": writes are refused and reads go on; free some space, writes then go on by themselves"
	}
	if h.Waiting > 0 {
		ch.Status = degraded
		ch.Detail += fmt.Sprintf("; a write has waited for space for %v", h.Waiting.Round(time.Millisecond))
	}
	return ch
}

func checkSpeed(h storage.Health) check {
	if h.SlowSince > 0 {
		return check{Status: degraded, Detail: fmt.Sprintf("the disk has not answered for %v: writes wait for it, and give up in the end", h.SlowSince.Round(time.Millisecond))}
	}
	return check{Status: healthy, Detail: "the disk answers in time"}
}

// checkStore tells of what was lost since the start; what was found before
// stays in the list of damages.
func (s *Server) checkStore() check {
	found := s.store.FoundNow()
	switch n := len(found); n {
	case 0:
		return check{Status: healthy, Detail: "no damage was found since the start"}
	case 1:
		return check{Status: degraded, Detail: fmt.Sprintf("damage was found: %v: GET /v1/damages lists it", found[0])}
	default:
		return check{Status: degraded, Detail: fmt.Sprintf("%d damages were found since the start, first: %v: GET /v1/damages lists them", n, found[0])}
	}
}

// sizeText writes a number of bytes for a person.
func sizeText(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/(1<<10), 0
	for v >= 1<<10 {
		v, i = v/(1<<10), i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}
