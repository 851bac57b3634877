package providers_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/rueidis"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/providers"
)

const kept = "kept"

// What a test may rely on when it kills a server: what a client was told is stored is there afterwards. With real clients,
// whichever provider the server comes from.
func TestWhatWasAcknowledgedIsThereAfterAKill(t *testing.T) {
	for name, visit := range map[string]struct {
		write func(context.Context, string) error
		read  func(context.Context, string) (string, error)
	}{
		"kafka":    {produce, consume},
		"nats":     {publish, fetch},
		"redis":    {set, get},
		"postgres": {insert, query},
		"s3":       {put, object},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			server := providers.Own(t, name)
			if err := visit.write(ctx, server.URL); err != nil {
				t.Fatal("write:", err)
			}
			server.Kill()
			server.Restart()
			if value, err := visit.read(ctx, server.URL); err != nil || value != kept {
				t.Errorf("%q after the kill, error %v", value, err)
			}
		})
	}
}

func TestTransactionsOfKafkaCommitOnOneNode(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	seeds, topic := host(providers.URL(t, "kafka")), fmt.Sprintf("transactions-%d", time.Now().UnixNano())
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds), kgo.TransactionalID(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(kept)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

func TestChangedRowsCanBeReadFromPostgres(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), providers.URL(t, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for setting, want := range map[string]string{"wal_level": "logical", "fsync": "on", "max_connections": "200"} {
		var value string
		if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&value); err != nil || value != want {
			t.Errorf("%s is %q, not %q (error %v)", setting, value, want, err)
		}
	}
}

func produce(ctx context.Context, url string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(host(url)))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "words"); err != nil {
		return err
	}
	return client.ProduceSync(ctx, &kgo.Record{Topic: "words", Value: []byte(kept)}).FirstErr()
}

func consume(ctx context.Context, url string) (string, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(host(url)), kgo.ConsumeTopics("words"))
	if err != nil {
		return "", err
	}
	defer client.Close()
	fetches := client.PollFetches(ctx)
	for _, record := range fetches.Records() {
		return string(record.Value), nil
	}
	return "", fetches.Err()
}

func publish(ctx context.Context, url string) error {
	return withJetStream(url, func(js jetstream.JetStream) error {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "words", Subjects: []string{"words"}}); err != nil {
			return err
		}
		_, err := js.Publish(ctx, "words", []byte(kept))
		return err
	})
}

func fetch(ctx context.Context, url string) (value string, err error) {
	err = withJetStream(url, func(js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, "words")
		if err != nil {
			return err
		}
		message, err := stream.GetMsg(ctx, 1)
		if err == nil {
			value = string(message.Data)
		}
		return err
	})
	return value, err
}

func withJetStream(url string, do func(jetstream.JetStream) error) error {
	conn, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	return do(js)
}

func set(ctx context.Context, url string) error {
	return withRedis(url, func(c rueidis.Client) error {
		return c.Do(ctx, c.B().Set().Key("word").Value(kept).Build()).Error()
	})
}

func get(ctx context.Context, url string) (value string, err error) {
	err = withRedis(url, func(c rueidis.Client) error {
		value, err = c.Do(ctx, c.B().Get().Key("word").Build()).ToString()
		return err
	})
	return value, err
}

func withRedis(url string, do func(rueidis.Client) error) error {
	client, err := rueidis.NewClient(rueidis.MustParseURL(url))
	if err != nil {
		return err
	}
	defer client.Close()
	return do(client)
}

func insert(ctx context.Context, url string) error {
	return withPostgres(ctx, url, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "CREATE TABLE words AS SELECT $1::text AS word", kept)
		return err
	})
}

func query(ctx context.Context, url string) (value string, err error) {
	err = withPostgres(ctx, url, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT word FROM words").Scan(&value)
	})
	return value, err
}

func withPostgres(ctx context.Context, url string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}

func put(ctx context.Context, url string) error {
	client, bucket, err := bucketOf(url)
	if err != nil {
		return err
	}
	_, err = client.PutObject(ctx, bucket, "word", bytes.NewReader([]byte(kept)), int64(len(kept)), minio.PutObjectOptions{})
	return err
}

func object(ctx context.Context, url string) (string, error) {
	client, bucket, err := bucketOf(url)
	if err != nil {
		return "", err
	}
	found, err := client.GetObject(ctx, bucket, "word", minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer found.Close()
	data, err := io.ReadAll(found)
	return string(data), err
}

func bucketOf(address string) (*minio.Client, string, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, "", err
	}
	secret, _ := at.User.Password()
	client, err := minio.New(at.Host, &minio.Options{Creds: credentials.NewStaticV4(at.User.Username(), secret, "")})
	return client, at.Path[1:], err
}

func host(address string) string {
	at, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return at.Host
}
