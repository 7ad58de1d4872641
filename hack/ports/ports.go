// Package ports chooses free TCP ports on the loopback interface and remembers
// them in a file, so that a stand keeps its addresses from run to run while
// other stands run beside it. It must not know what the ports are for.
package ports

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
)

// Ports come from below the range that kernels give to outgoing connections,
// or one of these could take a port between our choice and its use.
const (
	lowest    = 20000
	highest   = 32000
	rangeSize = 400
	attempts  = 1000
)

// Book remembers which port has which name. Its methods may be called at the
// same time; a file must have one Book only. Books of other processes choose other
// ports: one that was chosen is free until its program listens.
type Book struct {
	file  string
	mutex sync.Mutex
	ports map[string]int
}

// Open reads a book. A file that doesn't exist is an empty book.
func Open(file string) (*Book, error) {
	book := &Book{file: file, ports: map[string]int{}}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return book, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the remembered ports: %w", err)
	}
	if err := json.Unmarshal(data, &book.ports); err != nil {
		return nil, fmt.Errorf("reading the remembered ports in %s: %w", file, err)
	}
	return book, nil
}

// Free returns the port of a name: the remembered one if nobody listens there,
// else another one, which is remembered from now on.
func (b *Book) Free(name string) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if port := b.ports[name]; port != 0 && isFree(port) {
		return port, nil
	}
	first, err := processRange()
	if err != nil {
		return 0, fmt.Errorf("choosing a port for %s: %w", name, err)
	}
	for range attempts {
		port := first + rand.IntN(rangeSize)
		if b.taken(port) || !isFree(port) {
			continue
		}
		b.ports[name] = port
		return port, b.save()
	}
	return 0, fmt.Errorf("choosing a port for %s: none of %d tried between %d and %d is free", name, attempts, first, first+rangeSize-1)
}

func (b *Book) taken(port int) bool {
	for _, other := range b.ports {
		if other == port {
			return true
		}
	}
	return false
}

func (b *Book) save() error {
	data, err := json.MarshalIndent(b.ports, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the ports to remember: %w", err)
	}
	if err := os.WriteFile(b.file, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("remembering ports: %w", err)
	}
	return nil
}

// Address returns the loopback address of a port, as a listener takes it.
func Address(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp4", Address(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
