package series_test

import "math"

var nan = math.NaN()
