// Package api answers over HTTP: bars, gaps, coverage and the state of the
// store, in the shapes that docs/http.md lists.
//
// [New] takes a [Store], which *storage.Store is, and returns a handler. The
// handler starts nothing and owns nothing: the caller brings the http.Server
// and closes the store behind it. Answers stream, so that memory does not grow
// with what is asked.
//
// A browser must not be able to drive a local database: requests whose Host is
// not on the list are refused, because a name that an attacker owns can be
// pointed at 127.0.0.1; writes from another origin are refused; and writes
// need the token, from the loopback too.
package api
