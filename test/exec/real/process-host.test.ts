/**
 * Goal: the real host keeps the contract. Method: the contract suite, with real shells, launchers and shims.
 */

import {processHostContract} from '../process-host-contract.ts';
import {createRealSite} from './real-site.ts';

processHostContract('real', async t => createRealSite(t));
