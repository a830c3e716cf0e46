// Package host runs the services of one process. It reads the settings from
// flags, the environment and a file. It connects to the broker that the URL
// names. It answers health checks and serves metrics. It stops the services in
// good order. It chooses the driver, in one switch; it leaves services to
// package enoki and the brokers' protocols to the drivers.
//
// Main is all that a program needs:
//
//	func main() { host.Main(register.New(), push.New()) }
//
// App is the same with settings of the program's own. Dial is for programs that
// only call and manage their own life.
package host
