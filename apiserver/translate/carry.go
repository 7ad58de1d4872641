package translate

import "strings"

// carriedBehind separates annotations that are not a JSON object from the records that
// are carried on behind them. The upstream's database holds no such character.
const carriedBehind = "\x00"

// CarryReserved returns the next annotations of a row with the reserved ones of
// the previous when somebody replaced the annotations without them. Behind annotations
// that are no JSON object they stand for readers here only: such a text is never sent.
func CarryReserved(previousAnnotations, nextAnnotations string) string {
	if previousAnnotations == nextAnnotations {
		return nextAnnotations
	}
	var lost []change
	for _, key := range []string{ReservedAnnotation, SettingsAnnotation} {
		raw, had := reservedValue(previousAnnotations, key)
		if !had {
			continue
		}
		if _, has := reservedValue(nextAnnotations, key); !has {
			lost = append(lost, change{names: []string{key}, value: raw})
		}
	}
	switch {
	case len(lost) == 0:
		return nextAnnotations
	case MalformedAnnotations(nextAnnotations):
		return nextAnnotations + carriedBehind + editObject("", lost)
	default:
		return editObject(nextAnnotations, lost)
	}
}

// MalformedAnnotations tells whether a row's annotations hold something, but no JSON
// object, so that nothing can be kept in them without destroying it.
func MalformedAnnotations(annotationsJSON string) bool {
	if blank(annotationsJSON) {
		return false
	}
	_, ok := parseObject(annotationsJSON)
	return !ok
}

// keepable returns what of the annotations is to stay when they are written: all, or
// the records behind them if they are malformed.
func keepable(annotationsJSON string) string {
	at := strings.LastIndex(annotationsJSON, carriedBehind)
	if at < 0 {
		return annotationsJSON
	}
	return annotationsJSON[at+len(carriedBehind):]
}
