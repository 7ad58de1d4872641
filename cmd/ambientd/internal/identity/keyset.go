package identity

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// keyRefresh is the least time between two readings of the key set.
const keyRefresh = 15 * time.Second

// KeySet holds the public keys of a JWKS file. It reads the file again when a
// token names a key that it does not know, but not more often than every 15 s.
type KeySet struct {
	path string

	mutex sync.Mutex
	keys  map[string]*rsa.PublicKey
	read  time.Time
}

// LoadKeySet reads the JWKS file at path; a file that cannot be read is an error.
func LoadKeySet(path string) (*KeySet, error) {
	set := &KeySet{path: path}
	if err := set.load(); err != nil {
		return nil, err
	}
	return set, nil
}

func (s *KeySet) load() error {
	s.read = time.Now()
	text, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("reading the key set: %w", err)
	}
	var document struct {
		Keys []struct {
			Type     string `json:"kty"`
			ID       string `json:"kid"`
			Modulus  string `json:"n"`
			Exponent string `json:"e"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("decoding the key set %s: %w", s.path, err)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, key := range document.Keys {
		if key.Type != "RSA" {
			continue
		}
		modulus, err := base64.RawURLEncoding.DecodeString(key.Modulus)
		if err != nil {
			return fmt.Errorf("decoding the modulus of key %q: %w", key.ID, err)
		}
		exponent, err := base64.RawURLEncoding.DecodeString(key.Exponent)
		if err != nil {
			return fmt.Errorf("decoding the exponent of key %q: %w", key.ID, err)
		}
		keys[key.ID] = &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(new(big.Int).SetBytes(exponent).Int64())}
	}
	s.keys = keys
	return nil
}

// find returns the key that a token was signed with.
func (s *KeySet) find(token *jwt.Token) (any, error) {
	id, ok := token.Header["kid"].(string)
	if !ok {
		return nil, errors.New("the token names no key")
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if key, known := s.keys[id]; known {
		return key, nil
	}
	if time.Since(s.read) >= keyRefresh {
		if err := s.load(); err != nil {
			return nil, err
		}
		if key, known := s.keys[id]; known {
			return key, nil
		}
	}
	return nil, fmt.Errorf("the key %q is not in the key set", id)
}
