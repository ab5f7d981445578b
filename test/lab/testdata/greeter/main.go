// Command greeter is built by the lab's tests.
package main

import "fmt"

func main() { fmt.Println("hello") }
