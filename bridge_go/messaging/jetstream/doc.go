// Package jetstream is what the connectors of JetStream share, whether the server is elsewhere or in this process: how a record
// is a message, publishing with many acknowledgements outstanding, reading by position, and storing the fates of events whole.
//
// It speaks the server's protocol itself where the client library would cost an allocation or a goroutine a message.
package jetstream
