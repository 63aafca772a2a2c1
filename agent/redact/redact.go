package redact

import "regexp"

// redacted is what stands in the place of a secret.
const redacted = "[redacted]"

var (
	pemBlock  = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\z)`)
	pemEnd    = regexp.MustCompile(`(?s)\A.*?-----END [A-Z0-9 ]+-----`)
	urlUser   = regexp.MustCompile(`(://)[^/\s@"']+@`)
	jwt       = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)
	joinToken = regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`)
	authValue = regexp.MustCompile(`(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{16,}`)
	// The values of these are a secret's whatever they look like; one in quotes is so with all that is between them.
	authHeader  = regexp.MustCompile(`(?i)(authorization\\?["']?[ \t]*[=:][ \t]*\[?[ \t]*\\?["']?(?:bearer|basic|token|negotiate)[ \t]+)[^\s"'\\,;\]]+`)
	quotedValue = regexp.MustCompile(`(?i)((?:token|password|passwd|secret|api[_-]?key|key-data|\bauth)\\?["']?[ \t]*[=:][ \t]*)(\\?")[^"\n]+?(\\?")`)
	bareValue   = regexp.MustCompile(`(?i)((?:\b|[._-])(?:password|passwd)["']?[ \t]*[=:][ \t]*|\bauth:[ \t]+)([^\s"'\\,;&\[]+)`)
	keyValue    = regexp.MustCompile(`(?i)((?:token|password|passwd|secret|api[_-]?key|(?:client-)?key-data)\\?["']?\s*[=:]\s*\\?["']?)([^\s"'\\,;&]{6,})`)
)

// Text takes out of text what looks like a secret: PEM blocks, bearer and basic credentials, JSON web tokens, join
// tokens, users and passwords in URLs, and the values of keys such as token and password.
func Text(text string) string {
	text = pemBlock.ReplaceAllString(text, redacted)
	text = pemEnd.ReplaceAllString(text, redacted) // a block that began before the text
	text = urlUser.ReplaceAllString(text, "${1}"+redacted+"@")
	text = authHeader.ReplaceAllString(text, "${1}"+redacted)
	text = authValue.ReplaceAllString(text, "${1}${2}"+redacted)
	text = jwt.ReplaceAllString(text, redacted)
	text = joinToken.ReplaceAllString(text, redacted)
	text = quotedValue.ReplaceAllString(text, "${1}${2}"+redacted+"${3}")
	text = bareValue.ReplaceAllString(text, "${1}"+redacted)
	return keyValue.ReplaceAllString(text, "${1}"+redacted)
}
