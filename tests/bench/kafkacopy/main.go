// Command kafkacopy is the floor of a bridge between topics: franz-go alone, as fast as it goes. It copies keys, and values cut to the
// size of a result, and prints {"n": ..., "cpu_s": ...}.
//
//	kafkacopy SERVERS N IN OUT
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
)

const result = 70 // bytes of a result's JSON

func main() {
	log.SetFlags(0)
	if len(os.Args) != 5 {
		log.Fatal("usage: kafkacopy SERVERS N IN OUT")
	}
	n, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if err := copied(strings.Split(os.Args[1], ","), n, os.Args[3], os.Args[4]); err != nil {
		log.Fatal(err)
	}
}

func copied(brokers []string, n int, in, out string) error {
	ctx := context.Background()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(in), kgo.ConsumerGroup("floor-"+out),
		kgo.DefaultProduceTopic(out), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer client.Close()
	done, from := 0, 0.0
	for done < n {
		fetches := client.PollRecords(ctx, 5000)
		if done == 0 {
			from = cpu()
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			client.Produce(ctx, &kgo.Record{Key: r.Key, Value: r.Value[:min(result, len(r.Value))]}, nil)
			done++
		})
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	_, err = fmt.Printf("{\"n\": %d, \"cpu_s\": %f}\n", done, cpu()-from)
	return err
}

// cpu is what this process has used, in seconds.
func cpu() float64 {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}
