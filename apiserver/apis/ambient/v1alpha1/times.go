package v1alpha1

import "time"

// CanShow tells whether every client can read the time: in UTC, which times are
// written in, its year has four digits, as RFC 3339 asks for, and is not 0, which many
// languages lack.
func CanShow(t time.Time) bool {
	year := t.UTC().Year()
	return 1 <= year && year <= 9999
}
