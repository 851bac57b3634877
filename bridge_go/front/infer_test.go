package front

import (
	"strings"
	"testing"
)

const inferAnswer = `{"id":"q1","model_name":"flights","model_version":"3","outputs":[
 {"name":"arr_delay","datatype":"FP64","shape":[2],"data":[5,-1]},{"name":"late","datatype":"BOOL","shape":[2],"data":[false,false]},
 {"name":"gate","datatype":"BYTES","shape":[2],"data":["",""]},{"name":"gate__valid","datatype":"BOOL","shape":[2],"data":[false,false]}]}`

func TestTensorsOfFieldsBecomeRowsAndOutputsBecomeTensors(t *testing.T) {
	r := newRig(t, Config{}).ready()
	for _, path := range []string{"/v2/models/flights/infer", "/v2/models/flights/versions/3/infer"} {
		r.expect("POST", path, `{"id":"q1","inputs":[
		 {"name":"flight_id","datatype":"BYTES","shape":[2],"data":["a","b"]},
		 {"name":"dep_delay","datatype":"FP32","shape":[2,1],"data":[[5],[7.5]]},
		 {"name":"dep_delay__valid","datatype":"BOOL","shape":[2],"data":[true,false]}]}`, 200, inferAnswer)
	}
}

func TestAWholeEventMayComeAsOneTensor(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.expect("POST", "/v2/models/flights/infer", `{"inputs":[{"name":"event","datatype":"BYTES","shape":[2],
	 "data":["{\"dep_delay\": 2}", "{\"ask\":\"many\",\"dep_delay\":3}"]}],"outputs":[{"name":"event"}]}`, 200,
		`{"model_name":"flights","model_version":"3","outputs":[{"name":"event","datatype":"BYTES","shape":[2],"data":[
		 "{\"arr_delay\":2,\"late\":false,\"gate\":null}",
		 "[{\"arr_delay\":3,\"late\":false,\"gate\":null},{\"arr_delay\":3,\"late\":false,\"gate\":null}]"]}]}`)
	r.expect("POST", "/v2/models/flights/infer", `{"inputs":[{"name":"event","datatype":"BYTES","shape":[1],"data":["{\"dep_delay\": 2}"]}],
	 "outputs":[{"name":"late"}]}`, 200, `{"model_name":"flights","model_version":"3","outputs":[{"name":"late","datatype":"BOOL","shape":[1],"data":[false]}]}`)
}

func TestTwoEventsInOneElementAreRefused(t *testing.T) {
	r := newRig(t, Config{}).ready()
	status, _, text := r.ask("POST", "/v2/models/flights/infer",
		`{"inputs":[{"name":"event","datatype":"BYTES","shape":[1],"data":["{\"dep_delay\":1}{\"dep_delay\":2}"]}]}`)
	if status != 400 || !strings.Contains(text, "row 0") {
		t.Errorf("%d %s", status, text)
	}
}

func TestRowsWithoutAPredictionAreNamed(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.expect("POST", "/v2/models/flights/infer", `{"inputs":[{"name":"event","datatype":"BYTES","shape":[3],
	 "data":["{}", "{\"ask\":\"reject\"}", "{\"ask\":\"fail\"}"]}]}`, 400,
		`{"error":"row 1: cancelled flight; row 2: ValueError: no","code":"rows"}`)
}

func TestTensorsThatDoNotFitAreRefusedWithASentence(t *testing.T) {
	r := newRig(t, Config{}).ready()
	one := func(tensor string) string { return `{"inputs":[` + tensor + `]}` }
	for body, want := range map[string]string{
		`{"inputs":[]}`: "inputs is empty",
		one(`{"name":"speed","datatype":"FP64","shape":[1],"data":[1]}`):                                                                  "no field speed. There are: dep_delay, distance, event,",
		one(`{"name":"distance","datatype":"BYTES","shape":[1],"data":["x"]}`):                                                            "datatype BYTES, the field takes FP64",
		one(`{"name":"distance","datatype":"FP64","shape":[2],"data":[1]}`):                                                               "has 1 values for shape [2]",
		one(`{"name":"distance","datatype":"FP64","shape":[1,2],"data":[[1,2]]}`):                                                         "one value a row is [n] or [n,1]",
		one(`{"name":"distance","datatype":"FP64","shape":[0],"data":[]}`):                                                                "has no rows",
		one(`{"name":"distance","datatype":"FP64","shape":[1],"data":[1]},{"name":"distance","datatype":"FP64","shape":[1],"data":[1]}`):  "is there twice",
		one(`{"name":"distance","datatype":"FP64","shape":[1],"data":[1]},{"name":"seats","datatype":"INT64","shape":[2],"data":[1,2]}`):  "has 2 rows, others 1",
		one(`{"name":"distance","datatype":"FP64","shape":[1],"data":[1]},{"name":"event","datatype":"BYTES","shape":[1],"data":["{}"]}`): "holds whole events",
		`{"inputs":5}`: "not an inference request",
		`{"inputs"`:    "malformed JSON at byte 9",
		`{"inputs":[{"name":"distance","datatype":"FP64","shape":[1],"data":[1]}],"outputs":[{"name":"x"}]}`: "the model has no output x",
	} {
		status, _, text := r.ask("POST", "/v2/models/flights/infer", body)
		if status != 400 || !strings.Contains(text, want) {
			t.Errorf("%s\ngot %d %s want %s", body, status, text, want)
		}
	}
}

func TestTheServerAndItsModelDescribeThemselves(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.expect("GET", "/v2", ``, 200, `{"extensions":["binary_tensor_data"],"name":"ds-runner","version":"2"}`)
	r.expect("GET", "/v2/health/live", ``, 200, `{"live":true}`)
	r.expect("GET", "/v2/health/ready", ``, 200, `{"ready":true}`)
	r.expect("GET", "/v2/models/flights/ready", ``, 200, `{"ready":true}`)
	r.expect("GET", "/v2/models/flights/versions/3/ready", ``, 200, `{"ready":true}`)
	r.expect("GET", "/v2/models/flights", ``, 200, `{"inputs":[
	 {"datatype":"BYTES","name":"flight_id","shape":[-1]},{"datatype":"FP64","name":"distance","shape":[-1]},
	 {"datatype":"FP64","name":"dep_delay","shape":[-1]},{"datatype":"BOOL","name":"dep_delay__valid","shape":[-1]},{"datatype":"BYTES","name":"origin","shape":[-1]},
	 {"datatype":"INT64","name":"seats","shape":[-1]},{"datatype":"BOOL","name":"night","shape":[-1]},
	 {"datatype":"BYTES","name":"plane","shape":[-1]},{"datatype":"BYTES","name":"event","shape":[-1]}],
	 "name":"flights","outputs":[{"datatype":"FP64","name":"arr_delay","shape":[-1]},{"datatype":"BOOL","name":"late","shape":[-1]},
	 {"datatype":"BYTES","name":"gate","shape":[-1]},{"datatype":"BOOL","name":"gate__valid","shape":[-1]},{"datatype":"BYTES","name":"event","shape":[-1]}],"platform":"ds-runner","versions":["3"]}`)
	r.expect("GET", "/v2/models/trains", ``, 404, `{"error":"no model trains here, but flights","code":"no_model"}`)
	r.expect("GET", "/v2/models/flights/versions/9", ``, 404, `{"error":"version 9 is not loaded, but 3","code":"no_version"}`)
	r.expect("GET", "/v2/models/flights/infer", ``, 405, `{"error":"only POST here","code":"method"}`)
	r.expect("GET", "/v2/nothing", ``, 404, `{"error":"no such page. See /docs","code":"not_found"}`)
}

func TestATimeoutAmongTheParametersCounts(t *testing.T) {
	r := newRig(t, Config{}).ready()
	defer close(r.worker.hold)
	r.expect("POST", "/v2/models/flights/infer", `{"parameters":{"timeout":50000},"inputs":[{"name":"event","datatype":"BYTES","shape":[1],
	 "data":["{\"ask\":\"hold\"}"]}]}`, 504, `{"error":"the model did not answer in time","code":"deadline"}`)
}
