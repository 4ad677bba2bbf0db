// Requests to the API, and the token that they carry. The token lives in the
// session of the tab only.

const key = 'barkeep.token'

export function token(): string {
  return sessionStorage.getItem(key) ?? ''
}

export function setToken(text: string): void {
  if (text) sessionStorage.setItem(key, text)
  else sessionStorage.removeItem(key)
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

export async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = {}
  if (token()) headers.Authorization = 'Bearer ' + token()
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  let response: Response
  try {
    response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) })
  } catch (e) {
    if (signal?.aborted) throw e
    throw new ApiError(0, 'unreachable', 'The server does not answer. It may be restarting.')
  }
  const text = await response.text()
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    throw new ApiError(response.status, 'unreadable', `The server answered ${response.status} with something that is not JSON.`)
  }
  if (!response.ok) {
    const error = (answer as { error?: { code?: string; message?: string } }).error
    throw new ApiError(response.status, error?.code ?? 'unknown', error?.message ?? `The server answered ${response.status}.`)
  }
  return answer as T
}

export const get = <T>(path: string, signal?: AbortSignal) => ask<T>('GET', path, undefined, signal)
export const post = <T>(path: string, body: unknown = {}) => ask<T>('POST', path, body)

// query builds a query string; what is undefined or empty is left out.
export function query(values: Record<string, string | number | undefined>): string {
  const q = new URLSearchParams()
  for (const [k, v] of Object.entries(values)) if (v !== undefined && v !== '') q.set(k, String(v))
  const text = q.toString()
  return text ? '?' + text : ''
}
