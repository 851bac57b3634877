// Package http sends records to HTTP endpoints and receives events from senders of webhooks.
//
// Who listens and who calls cannot be told from http://host alone, so these are two schemes. http: and https: name an
// endpoint that is called: their connections have sinks. webhook: names an address that the bridge listens at: its
// connections have sources.
//
//	https://host/path -> sink: a request a record, or a batch a request; refusals for good are told from what may pass
//	webhook://:8090   -> POST /<topic> -> budget -> parse -> source -> ... -> Commit -> the answer
//
// A webhook is answered when the fate of each of its events is stored, so an answer of 2xx is a promise that nothing breaks.
// Nothing is stored before: a request that was not answered is the sender's to send again. It has no positions to come back
// to, and a group's name means nothing to it.
package http
