import { z } from 'zod';
import { email, givenPassword, newPassword } from './account-schemas.ts';

/** Body of `POST /auth/password`. */
export const passwordChangeBody = z.strictObject({ current_password: givenPassword, password: newPassword });

/** Body of `POST /auth/password/forgot`. */
export const forgotBody = z.strictObject({ email });

/** Body of `POST /auth/password/reset`. */
export const resetBody = z.strictObject({
  token: z.string().min(1, 'must not be empty').max(200, 'must have at most 200 characters'),
  password: newPassword,
});
