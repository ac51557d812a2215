package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"
)

// Numbered checks: check compares an answer with what it must be, fails expects an error of a class, step runs one
// part of the story within a time.

const patience = 60 * time.Second

var passed, failed int

type object = map[string]interface{}
type array = []interface{}

func report(good bool, what, detail string) {
	word := "ok    "
	if good {
		passed++
	} else {
		failed++
		word = "FAILED"
	}
	fmt.Printf("%3d. %s %s\n", passed+failed, word, what)
	if !good {
		fmt.Printf("     %s\n", detail)
	}
}

func check(what string, got, want interface{}) {
	got, want = plain(got), plain(want)
	report(reflect.DeepEqual(got, want), what, fmt.Sprintf("got %#v, not %#v", got, want))
}

// The value with every number a float64 and every list an array, as the driver decodes them. Times are compared as
// moments.
func plain(value interface{}) interface{} {
	if moment, ok := value.(time.Time); ok {
		return moment.UTC().Round(time.Millisecond)
	}
	it := reflect.ValueOf(value)
	switch it.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
		return float64(it.Int())
	case reflect.Map:
		made := object{}
		for _, key := range it.MapKeys() {
			made[key.String()] = plain(it.MapIndex(key).Interface())
		}
		return made
	case reflect.Slice:
		if bytes, ok := value.([]byte); ok {
			return bytes
		}
		made := array{}
		for i := 0; i < it.Len(); i++ {
			made = append(made, plain(it.Index(i).Interface()))
		}
		return made
	}
	return value
}

// The error must be of the very class of the example, and its text must contain the message.
func fails(what string, example error, message string, err error) {
	good := err != nil && reflect.TypeOf(err) == reflect.TypeOf(example) && strings.Contains(err.Error(), message)
	report(good, what, fmt.Sprintf("got %T: %v", err, err))
}

// A part that does not end in time fails loudly: it ends the program and names itself.
func step(name string, part func()) {
	late := time.AfterFunc(patience, func() {
		report(false, name+" ends", fmt.Sprintf("no end after %v", patience))
		finish()
	})
	defer late.Stop()
	defer func() {
		if thrown := recover(); thrown != nil {
			report(false, name+" ends", fmt.Sprint(thrown))
			finish()
		}
	}()
	part()
}

// For what must not fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A copy of a value that shares nothing with it.
func copyOf(value object) object {
	text, err := json.Marshal(value)
	must(err)
	made := object{}
	must(json.Unmarshal(text, &made))
	return made
}

func finish() {
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}
