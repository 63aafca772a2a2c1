// Package refusal tells an API server that understood and said no from one that is busy, down or ahead of our cache.
package refusal

import apierrors "k8s.io/apimachinery/pkg/api/errors"

// ForGood says that the API server will give the same answer until somebody changes something.
func ForGood(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}
