// Package bench measures the whole system on a real control plane: reads, the way
// of a change to its watchers, the first synchronisation, and the reconciler,
// each beside a plain program that does the same without us.
//
// It owns what is measured and against what; docs/performance.md holds the
// targets and the results. All of it is benchmarks, so that no run of the tests
// starts one. Each has a stand of its own and needs the programs of make
// binaries. Sizes are environment variables: AMBIENT_BENCH_SCALE divides all of
// them, AMBIENT_BENCH_ROWS names a file that a row of the table is added to for
// each figure.
package bench
