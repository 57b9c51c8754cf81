/** Flux's templates in names of output files: `{{id.f58}}`, `{{node.name}}`, `{{task.rank}}`. A name that is not known stays. */
import type {Idset} from './idset.ts';
import {encodeJobid, JOBID_FORMS, type JobId} from './jobid.ts';

export interface TemplateNames {
	readonly id: JobId;
	readonly attempt: number;
	readonly name: string;
	readonly nnodes: number;
	readonly ntasks: number;
	/** The broker's. */
	readonly rank: number;
	/** The position of the node in the job. */
	readonly nodeIndex: number;
	readonly host: string;
	/** Of the job on this node. */
	readonly cores: Idset;
	readonly gpus: Idset;
}

/** `text` with what is known of the job and the node put in; those of a task become `{{task.id}}` and `{{task.index}}`. */
export function renderTemplate(text: string, names: TemplateNames): string {
	return text.replaceAll(
		/\{\{\s*([a-zA-Z_.0-9]+)\s*\}\}/g,
		(whole, tag: string) => expand(tag, names) ?? whole,
	);
}

function expand(tag: string, names: TemplateNames): string | null {
	const id = /^(?:job)?id(?:\.([a-z0-9]+))?$/.exec(tag);
	if (id !== null) return expandId(names.id, id[1] ?? 'f58');
	switch (tag) {
		case 'attempt':
			return String(names.attempt);
		case 'name':
			return names.name;
		case 'nnodes':
			return String(names.nnodes);
		case 'size':
		case 'ntasks':
			return String(names.ntasks);
		case 'node.id':
			return String(names.nodeIndex);
		case 'node.name':
			return names.host;
		case 'node.broker_rank':
			return String(names.rank);
		case 'node.resources':
			return resourcesText(names);
		case 'node.cores':
			return names.cores.toString();
		case 'node.gpus':
			return names.gpus.toString();
		case 'node.ncores':
			return String(names.cores.count);
		case 'node.ngpus':
			return String(names.gpus.count);
		case 'taskid':
		case 'task.id':
		case 'task.rank':
			return '{{task.id}}';
		case 'task.index':
		case 'task.localid':
			return '{{task.index}}';
		default:
			return null;
	}
}

/** The plain form of F58 for all: a name of a file must not depend on the locale. */
function expandId(id: JobId, form: string): string | null {
	const known = JOBID_FORMS.find(one => one === form);
	if (known === undefined) return null;
	return encodeJobid(id, known === 'f58' ? 'f58plain' : known);
}

function resourcesText({cores, gpus}: TemplateNames): string {
	return gpus.isEmpty ? `core[${cores.toString()}]` : `core[${cores.toString()}],gpu[${gpus.toString()}]`;
}
