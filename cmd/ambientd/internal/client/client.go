// Package client is a small command line client of the upstream's gRPC services,
// with which a person or a script plays the upstream's own users.
//
// It owns commands and their output. It must not know anything of the server but
// its wire contract, so that it works against a real ambient-api-server as well.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ambient-code/ambient-kube/cmd/internal/envflag"
)

const (
	// pageSize is the largest page that the server serves.
	pageSize = 500
	// maximumPage is the largest response that the client accepts, in bytes; the
	// default of gRPC is too small for a page of sessions with long prompts.
	maximumPage = 256 << 20
)

// connection holds the options that all commands share.
type connection struct {
	address   string
	tokenFile string
	caFile    string
	useTLS    bool
	timeout   time.Duration
	output    *envflag.Choice
}

// Commands returns the commands sessions, projects and settings.
func Commands() []*cobra.Command {
	return []*cobra.Command{newSessions(), newProjects(), newSettings()}
}

// newGroup returns a command that only holds others, and the options that they share.
func newGroup(use, short string) (*cobra.Command, *connection) {
	shared := &connection{output: envflag.OneOf("table", "table", "json", "id")}
	group := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	flags := group.PersistentFlags()
	flags.StringVar(&shared.address, "address", "127.0.0.1:9000", "address of the upstream's gRPC services")
	flags.StringVar(&shared.tokenFile, "token-file", "", "file with the bearer token to send")
	flags.BoolVar(&shared.useTLS, "tls", false, "use TLS, with the system's certificate authorities")
	flags.StringVar(&shared.caFile, "tls-ca-file", "", "certificate authority of the server (PEM); turns TLS on")
	flags.DurationVar(&shared.timeout, "timeout", 30*time.Second, "how long a command may take")
	flags.VarP(shared.output, "output", "o", "how to print the answer")
	return group, shared
}

// run connects, calls the function with a context that carries the token, and
// disconnects.
func (c *connection) run(ctx context.Context, call func(context.Context, grpc.ClientConnInterface) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if c.tokenFile != "" {
		token, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return fmt.Errorf("reading the token: %w", err)
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	transport, err := c.transport()
	if err != nil {
		return err
	}
	connected, err := grpc.NewClient(c.address, grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maximumPage)))
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", c.address, err)
	}
	defer func() { err = errors.Join(err, connected.Close()) }()
	return call(ctx, connected)
}

func (c *connection) transport() (credentials.TransportCredentials, error) {
	if c.caFile == "" {
		if c.useTLS {
			return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}), nil
		}
		return insecure.NewCredentials(), nil
	}
	authority, err := os.ReadFile(c.caFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no PEM certificate", c.caFile)
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}), nil
}

// table says how objects of one kind are printed.
type table[M proto.Message] struct {
	header []string
	cells  func(M) []string
	id     func(M) string
}

func printObjects[M proto.Message](to io.Writer, format string, layout table[M], objects ...M) error {
	switch format {
	case "json":
		for _, object := range objects {
			text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(object)
			if err != nil {
				return fmt.Errorf("encoding: %w", err)
			}
			if _, err := fmt.Fprintln(to, string(text)); err != nil {
				return err
			}
		}
		return nil
	case "id":
		for _, object := range objects {
			if _, err := fmt.Fprintln(to, layout.id(object)); err != nil {
				return err
			}
		}
		return nil
	}
	writer := tabwriter.NewWriter(to, 0, 8, 3, ' ', 0)
	if _, err := fmt.Fprintln(writer, strings.Join(layout.header, "\t")); err != nil {
		return err
	}
	for _, object := range objects {
		if _, err := fmt.Fprintln(writer, strings.Join(layout.cells(object), "\t")); err != nil {
			return err
		}
	}
	return writer.Flush()
}

// page is what the list responses of all kinds have in common.
type page[M any] interface {
	GetItems() []M
}

// listAll reads pages until one is not full.
func listAll[M proto.Message, R page[M]](list func(page int32) (R, error)) ([]M, error) {
	var objects []M
	for number := int32(1); ; number++ {
		response, err := list(number)
		if err != nil {
			return nil, fmt.Errorf("listing page %d: %w", number, err)
		}
		objects = append(objects, response.GetItems()...)
		if len(response.GetItems()) < pageSize {
			return objects, nil
		}
	}
}

// orDash shows that a text is empty.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
