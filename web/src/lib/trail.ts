// Audit records as files: all that match, as the engine writes them. It answers a part at a time.

import { api } from './api';

interface Bundle {
  entry?: unknown[];
}

/** Every record that matches, the oldest first: CSV, or a FHIR R4 Bundle of AuditEvents (auditevent.html). */
export async function exported(form: 'csv' | 'fhir', query: Record<string, string>): Promise<string> {
  const parts: string[] = [];
  for (let from: string | null = '0'; from !== null; ) {
    const part: { text: string; next: string | null } = await api.exportAudit(form, from, query);
    parts.push(part.text);
    from = part.next;
  }
  const [first = ''] = parts;
  if (parts.length <= 1) return first;
  // Each part has the names of the columns in its first line, and is a Bundle of its own.
  if (form === 'csv') return first + parts.slice(1).map((text) => text.slice(text.indexOf('\n') + 1)).join('');
  const entry = parts.flatMap((text) => (JSON.parse(text) as Bundle).entry ?? []);
  return JSON.stringify({ ...(JSON.parse(first) as Bundle), ...(entry.length > 0 ? { entry } : {}) });
}

/** Hands a text to the browser as a file. */
export function save(name: string, type: string, text: string): void {
  const anchor = document.createElement('a');
  anchor.href = URL.createObjectURL(new Blob([text], { type }));
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
}
