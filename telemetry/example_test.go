package telemetry_test

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/enoki-go/enoki/telemetry"
)

func ExampleNewLogger() {
	log := telemetry.NewLogger(os.Stdout, slog.LevelWarn, telemetry.Pretty)
	log.Info("below the level, so not written")
	// Output:
}

func ExampleRedactURL() {
	fmt.Println(telemetry.RedactURL("cannot reach amqp://guest:secret@localhost/shop"))
	// Output: cannot reach amqp://guest:xxxxx@localhost/shop
}
