// Package block encodes the bars of one stretch of one series as a compact,
// checksummed, lossless run of bytes, and decodes any subset of its columns.
package block
