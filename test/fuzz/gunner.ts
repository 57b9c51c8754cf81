/** One connection after another to a broker's socket, each of which sends what its manner says, and reads or does not. */
import {connect, type Socket} from 'node:net';
import {Deframer} from '../../src/net/frame.ts';
import {decodeMessage} from '../../src/net/message.ts';
import type {Seeded} from '../chaos/seeded.ts';
import {frameOf, mannerOf, type FrameWords, type Manner} from './frames.ts';

export interface Salvo {
	readonly path: string;
	readonly random: Seeded;
	readonly words: FrameWords;
	/** Takes one more frame; false: enough. */
	readonly take: () => boolean;
	/** An answer that no input should get, or a silence that none should. */
	readonly onFault: (text: string) => void;
	readonly onAnswer: (errnum: number) => void;
}

const BATCH_FRAMES = 50;
const QUIET_MS = 60;
const DRAIN_MS_MAX = 20_000;
/** A connection that asks sends so many frames at most. */
const FRAMES_OF: Readonly<Record<Manner, number>> = {
	asking: 2000,
	distorting: 200,
	cutting: 20,
	noise: 5,
	slow: 400,
};

/** Fires until `take` says that it is enough. */
export async function fire(salvo: Salvo): Promise<void> {
	for (let isOpen = true; isOpen;) isOpen = await fireOne(salvo);
}

async function fireOne(salvo: Salvo): Promise<boolean> {
	const {random, words, take} = salvo;
	const manner = mannerOf(random);
	const socket = await opened(salvo.path);
	const ended = new Promise<void>(resolve => socket.once('close', () => resolve()));
	socket.on('error', () => undefined);
	if (manner === 'slow') socket.pause();
	else readAnswers(socket, salvo);
	let isGoing = true;
	const count = random.integer(1, FRAMES_OF[manner]);
	for (let sent = 0; sent < count && isGoing && !socket.destroyed;) {
		const batch: Buffer[] = [];
		while (batch.length < BATCH_FRAMES && sent < count && (isGoing = take())) {
			batch.push(frameOf(random, manner, words));
			sent += 1;
		}
		const bytes = Buffer.concat(batch);
		const keepsUp = socket.write(random.chance(0.99) ? bytes : bytes.subarray(0, bytes.length - 1));
		// Who does not read its answers is not read either, and gives up.
		if (!keepsUp && (await stalls(socket, manner === 'slow' ? 200 : DRAIN_MS_MAX))) {
			if (manner !== 'slow') salvo.onFault(`a connection was not read for ${DRAIN_MS_MAX} ms`);
			break;
		}
	}
	if (manner !== 'slow' && random.chance(0.7)) await quiet(socket);
	if (random.chance(0.5)) socket.end();
	else socket.destroy();
	setTimeout(() => socket.destroy(), 500).unref();
	await ended;
	return isGoing;
}

async function opened(path: string): Promise<Socket> {
	return new Promise((resolve, reject) => {
		const socket = connect(path);
		socket.once('connect', () => resolve(socket));
		socket.once('error', reject);
	});
}

/** False: it drained, or was closed. */
async function stalls(socket: Socket, timeoutMs: number): Promise<boolean> {
	return new Promise(resolve => {
		const settle = (isStalled: boolean) => () => {
			clearTimeout(timer);
			socket.off('drain', goOn).off('close', goOn);
			resolve(isStalled);
		};
		const goOn = settle(false);
		const timer = setTimeout(settle(true), timeoutMs);
		socket.once('drain', goOn).once('close', goOn);
	});
}

/** Waits until no answer has come for a while. */
async function quiet(socket: Socket): Promise<void> {
	return new Promise(resolve => {
		const settle = () => {
			clearTimeout(timer);
			socket.off('data', again).off('close', settle);
			resolve();
		};
		const again = () => timer.refresh();
		const timer = setTimeout(settle, QUIET_MS);
		socket.on('data', again).once('close', settle);
		if (socket.destroyed) settle();
	});
}

function readAnswers(socket: Socket, {onAnswer, onFault}: Salvo): void {
	const deframer = new Deframer();
	socket.on('data', chunk => {
		deframer.feed(chunk);
		for (let frame = deframer.next(); frame !== null; frame = deframer.next()) {
			const message = decodeMessage(frame);
			if (message.type !== 'response') continue;
			onAnswer(message.errnum);
			if (message.errnum === 0) continue;
			const text = Buffer.from(message.payload).toString('utf8');
			if (text.includes('internal error')) onFault(`${message.topic}: ${text}`);
		}
	});
}
