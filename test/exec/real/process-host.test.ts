/**
 * Goal: the real host keeps the contract, however processes are tracked. Method: the contract suite, with real shells,
 * launchers and shims.
 */

import {processHostContract} from '../process-host-contract.ts';
import {createRealSite, TRACKINGS} from './real-site.ts';

for (const tracking of TRACKINGS)
	processHostContract(`real, ${tracking}`, async t => createRealSite(t, {tracking}));
