// Package fetchtest holds the providers of this repository against recorded
// answers of their vendors.
package fetchtest
