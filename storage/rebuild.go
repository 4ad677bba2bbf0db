package storage

// datedSpaces are the keyspaces whose values do not tell which one is newer.
const datedSpaces = "nqsx"
