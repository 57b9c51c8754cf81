/** All man pages, by file name, from the commands themselves. */
import {commandPage} from './command-page.ts';
import {COMMANDS} from './command-table.ts';
import {manPage, manPageName, overviewManPage} from './man-page.ts';

export async function makeManPages(): Promise<ReadonlyMap<string, string>> {
	const pages = new Map([['coppice.1', overviewManPage(COMMANDS)]]);
	for (const entry of COMMANDS) {
		const module = await entry.load();
		const page = await commandPage(module);
		pages.set(`${manPageName(entry.name)}.1`, manPage(page, entry.describe));
	}
	return pages;
}
