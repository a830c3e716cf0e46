package amqp

import "time"

const watchPeriod = 5 * time.Second
