/** Goal: names of output files mean what they mean in Flux; what is not known stays as it was written. */
import test from 'ava';
import {Idset} from '../../src/formats/idset.ts';
import {renderTemplate, type TemplateNames} from '../../src/formats/output-template.ts';

const NAMES: TemplateNames = {
	id: 6731191091817518n,
	attempt: 2,
	name: 'solve',
	nnodes: 3,
	ntasks: 12,
	rank: 7,
	nodeIndex: 1,
	host: 'n7',
	cores: Idset.parse('0-3'),
	gpus: Idset.parse('1'),
};

const VECTORS: readonly (readonly [template: string, text: string])[] = [
	['{{id}}', 'fuZZybuNNy'],
	['{{jobid}}', 'fuZZybuNNy'],
	['{{id.f58}}', 'fuZZybuNNy'],
	['{{jobid.f58plain}}', 'fuZZybuNNy'],
	['{{id.dec}}', '6731191091817518'],
	['{{id.hex}}', '0x17e9fb8df16c2e'],
	['{{id.dothex}}', '0017.e9fb.8df1.6c2e'],
	['{{id.kvs}}', 'job.0017.e9fb.8df1.6c2e'],
	['{{attempt}}', '2'],
	['{{name}}-{{ nnodes }}-{{size}}-{{ntasks}}', 'solve-3-12-12'],
	['{{node.id}} {{node.name}} {{node.broker_rank}}', '1 n7 7'],
	['{{node.cores}} {{node.ncores}} {{node.gpus}} {{node.ngpus}}', '0-3 4 1 1'],
	['{{node.resources}}', 'core[0-3],gpu[1]'],
	['{{taskid}}.{{task.id}}.{{task.rank}}', '{{task.id}}.{{task.id}}.{{task.id}}'],
	['{{task.index}}.{{task.localid}}', '{{task.index}}.{{task.index}}'],
	['{{id.roman}} {{idx}} {{}} {id} {{node.color}}', '{{id.roman}} {{idx}} {{}} {id} {{node.color}}'],
];

for (const [template, text] of VECTORS) {
	test(`${template} is ${text}`, t => {
		t.is(renderTemplate(template, NAMES), text);
	});
}
