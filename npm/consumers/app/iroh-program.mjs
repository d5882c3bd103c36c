export async function identity(createIrohEndpoint) {
  const endpoint = await createIrohEndpoint({ secretKey: new Uint8Array(32).fill(7), WebSocket: class {} });
  const { id } = endpoint;
  await endpoint.close();
  return id;
}

/** The public key of that secret one. */
export const wanted = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
