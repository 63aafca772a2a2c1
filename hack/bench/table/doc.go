// Package table is the result of a benchmark: one row for each measure, beside its peer and its budget.
package table
