// Audit records as files: all that match, not one page of them.

import { api, type AuditRecord, type AuditSearch } from './api';

const PAGE = 500;
const HEAD = ['number', 'at', 'actor', 'address', 'action', 'outcome', 'object', 'reason'] as const;

/** Every record that matches, the oldest first. */
export async function everything(query: AuditSearch): Promise<AuditRecord[]> {
  const all: AuditRecord[] = [];
  let before: number | undefined;
  for (;;) {
    const page = await api.audit({ ...query, ...(before === undefined ? {} : { before }), limit: PAGE });
    all.push(...page.records);
    if (page.next === null) return all.reverse();
    before = page.next;
  }
}

/** A cell that a spreadsheet takes for no formula (RFC 4180 §2 for its quotes). */
function cell(value: string | number): string {
  const text = /^[=+\-@\t\r]/.test(String(value)) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const csv = (records: AuditRecord[]): string => [HEAD.join(','), ...records.map((one) => HEAD.map((name) => cell(one[name])).join(','))].join('\r\n') + '\r\n';

const ACTIONS: [RegExp, string][] = [
  [/\.(add|set_up)$/, 'C'],
  [/\.(see|list|search|content|sent|read|verify|export|tree|neighbours|explain|preview|version)$/, 'R'],
  [/\.(change|password|second_factor)$/, 'U'],
  [/\.revoke$/, 'D'],
];

/** A FHIR R4 Bundle of AuditEvent (auditevent.html). What is empty is left out: R4 has no empty strings. */
export function bundle(records: AuditRecord[]): string {
  const entry = records.map((one) => ({
    resource: {
      resourceType: 'AuditEvent',
      id: `audit-${one.number}`,
      type: { system: 'http://terminology.hl7.org/CodeSystem/audit-event-type', code: 'rest' },
      subtype: [{ system: 'urn:medway:action', code: one.action }],
      action: ACTIONS.find(([pattern]) => pattern.test(one.action))?.[1] ?? 'E',
      recorded: one.at,
      outcome: ['granted', 'done'].includes(one.outcome) ? '0' : '8',
      outcomeDesc: one.outcome,
      agent: [
        {
          requestor: true,
          who: { display: one.actor },
          ...(one.address ? { network: { address: one.address, type: '2' } } : {}),
          ...(one.reason ? { purposeOfUse: [{ text: one.reason }] } : {}),
        },
      ],
      source: { observer: { display: 'Medway' } },
      ...(one.object ? { entity: [{ what: { display: one.object } }] } : {}),
    },
  }));
  return JSON.stringify({ resourceType: 'Bundle', type: 'collection', ...(entry.length > 0 ? { entry } : {}) });
}

/** Hands a text to the browser as a file. */
export function save(name: string, type: string, text: string): void {
  const anchor = document.createElement('a');
  anchor.href = URL.createObjectURL(new Blob([text], { type }));
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
}
