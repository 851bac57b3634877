// Command barehttp is net/http with a constant reply: what a Go server of any kind can reach on this machine.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	answer := []byte(`{"prediction":1}`)
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(answer)
	})))
}
