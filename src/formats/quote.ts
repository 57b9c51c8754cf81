/** Texts from outside within messages. */

/** `text` in quotes, as JSON writes it, cut to `lengthMax` characters: a hostile text must not fill the message. */
export function quote(text: string, lengthMax = 80): string {
	return JSON.stringify(text.length > lengthMax ? `${text.slice(0, lengthMax - 3)}...` : text);
}
