package boltqueue

import bolt "go.etcd.io/bbolt"

// number reads a record that is a number of so many bits.
func number(b *bolt.Bucket, key string, bits int) (uint64, error) {
	fields, err := unseal([]byte(key), b.Get([]byte(key)))
	if err != nil {
		return 0, err
	}
	d := decoder{b: fields}
	n := d.uint(bits)
	return n, d.end(key)
}

func putNumber(b *bolt.Bucket, key string, n uint64) error {
	var e encoder
	e.uint(n)
	return put(b, []byte(key), e.b)
}
