// Package fetchtest simulates vendors: HTTP servers that answer with given bars
// and have the habits of the real ones, those that cost bars among them. A
// provider is tried against its vendor's simulator, and a demonstration needs
// no network.
package fetchtest
