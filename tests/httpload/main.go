// Command httpload asks a server for predictions and says what became of every request. It is the load of the benchmark's rows
// over HTTP and of the tests of faults: its clients never send a request twice, so that whatever a server drops is seen.
//
//	httpload -url http://127.0.0.1:8080/predict -connections 64 -seconds 10 -body '{"id":"a-{n}","n":{n}}' -want '{"id":"a-{n}","value":{twice}}'
//
// Without -rate each client asks as soon as it is answered (a closed loop). With -rate requests are sent at times drawn from -seed, whether
// or not others were answered (an open loop): latency counts from the scheduled time, and the report tells how late the
// sender itself was. In -body and -want, {n} is the number of the row and {twice} its double; -rows asks for lists.
//
// It ends after -seconds, on SIGTERM, or with -until-refused when nobody listens any more, and prints one JSON object, a [Report].
// Before, it prints "answered N" as soon as -announce requests were answered.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	o := options{}
	flag.StringVar(&o.url, "url", "", "what is posted to")
	flag.StringVar(&o.protocol, "protocol", "h1", "h1, h2c or grpc")
	flag.IntVar(&o.connections, "connections", 64, "connections")
	flag.IntVar(&o.streams, "streams", 1, "requests at once on a connection of h2c or grpc")
	flag.Float64Var(&o.rate, "rate", 0, "requests a second, of all connections; 0: a closed loop")
	flag.Uint64Var(&o.seed, "seed", 1, "of the times of an open loop")
	seconds := flag.Float64("seconds", 10, "when to end")
	flag.StringVar(&o.body, "body", "", "a row")
	flag.StringVar(&o.want, "want", "", "its answer, as JSON; empty: any with status 200")
	flag.IntVar(&o.rows, "rows", 0, "rows of a request, as a list; 0: one, and no list")
	flag.Int64Var(&o.announce, "announce", 0, "say when so many requests were answered")
	flag.BoolVar(&o.untilRefused, "until-refused", false, "a client ends when its connection is refused, instead of trying again")
	flag.DurationVar(&o.patience, "patience", 60*time.Second, "a request without an answer after that is lost")
	flag.Parse()
	o.length = time.Duration(*seconds * float64(time.Second))

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	report, err := run(o, stop)
	if err != nil {
		fmt.Fprintln(os.Stderr, "httpload:", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(report)
}
