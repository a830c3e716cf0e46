// Package host runs the services of one process. It reads the settings from
// flags, the environment and a file, connects to the broker that the URL
// names, answers health checks and serves metrics, and stops in good order
// when it is told to. What a service is, package enoki says; how a broker is
// spoken to is the drivers' business, and host is where they are chosen, in
// one switch.
//
// Main is all that a program needs:
//
//	func main() { host.Main(register.New(), push.New()) }
//
// App is the same with settings of the program's own. Dial is for programs
// that only call, and have a life of their own.
package host
